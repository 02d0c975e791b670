"""`helm test`: does this cluster have what the run needs? Each failure says what to do.

main.py         all checks in order, one line each; `python -m sftjobs.preflight` in the pod of the test
finding.py      what a check has found
ground.py       what the checks look at: the release, its store, its plan
release.py      run.yaml, store and inputs
permissions.py  may the controller do what it does?
queues.py       the Kueue queue of stage Jobs
quotas.py       quotas and limits of the namespace against what each stage asks for
gpus.py         nodes with enough GPUs
admission.py    does the cluster accept the Jobs? Asked by a dry run
images.py       a short Job per image: pulled, started, of this version
"""
