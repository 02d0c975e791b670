"""The agent: process 1 of a stage pod, and the process that the process backend starts. No torch.

`main.py` tells the story of one attempt; each other file has one concern of it.

Where several nodes will meet: each node runs one agent with its own node rank. Node 0's agent takes the LEASE, claims
the incarnation and picks the checkpoint; the agents of the other nodes connect to it with the attempt's nonce before
their ranks start and are told both. That open connection is the report of uploaded shards, the barrier before COMMIT
and the failure detector: a lost peer ends the attempt with exit 21 at once. It belongs between `begin` and
`ranks.start` in `main.py`. Until then a plan with more than one node is refused there with exit 10.
"""
