"""What the project knows of Kubernetes. `api.py` is the only module that talks to it; the rest reads plain dicts.

api.py         requests and errors
informer.py    an up-to-date copy of some objects, by list and watch
job_status.py  Job, pods and events -> what the controller needs to know; pure
reasons.py     why a pod has not started, in words; pure
pulls.py       when the image of a pod came to its node; pure
"""
