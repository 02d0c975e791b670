"""The controller: it turns a recorded run into Jobs, one attempt after the other, until there is a verdict.

observe (observe.py, stage_reader.py)  ->  Observed      what is known
decide  (decide.py, retries.py)        ->  actions       pure
act     (act.py)                                         one side effect each
loop.py runs the three until the end; status.py says where a run stands without any of them.
"""
