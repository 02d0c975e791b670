"""The agents of one attempt on several nodes: one connection from each to the agent of node 0, which decides.

messages.py   what they say to each other
channel.py    one connection: messages in, messages out, and the certainty that the other side is there
base.py       what an agent needs of its group, and the group of one
leader.py     node 0: listens, hands out incarnation and checkpoint, collects, ends the attempt
peer.py       the other nodes: find node 0, do as they are told, say how it went

The open connection is the report of uploaded shards, the barrier before COMMIT and the failure detector: when it is
gone, the attempt is over (exit 21), because the ranks would wait for each other until a time-out of their library.
"""
