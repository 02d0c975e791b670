"""What runs a chain in a cluster: one Helm release is one run.

owner.py       who a run on Kubernetes belongs to
install.py     install a release from here, by helm
release.py     the release as the controller sees it: anchor, run.yaml, cluster.yaml
run_file.py    a run.yaml without paths of anybody's machine
controller.py  `python -m sftjobs.controller`: process 1 of the controller pod
chain.py       the run of a release from its plan to its verdict; also with the controller on a laptop
live.py        what the cluster says about a run at this moment
waiting.py     notes in the store about why an attempt has not started
webhook.py     tell somebody that the run has ended
"""
