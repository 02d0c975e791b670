"""The agent: process 1 of a stage pod, and the process that the process backend starts. No torch.

`main.py` tells the story of one attempt; each other file has one concern of it. With several nodes there is one agent
on each: node 0's leads (`lead.py`), the others follow (`follow.py`), and `group/` is how they talk.
"""
