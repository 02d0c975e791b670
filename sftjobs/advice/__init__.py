"""What to train, with what, on what, and what it will need: advice with reasons and sources, never a condition.

shape       config.json of a model -> its sizes
memory      bytes of a rank by part, at the moment with most
need        the memory of a model that is trained by a method
gpus        published figures of GPUs
cost        operations, time, money
choices     method, epochs, batch, learning rate, precision: rules of thumb with both sides
placing     ZeRO stage and number of nodes
advise      all of it for one run
sizes       which of the published model sizes fit

Pure functions; nothing here imports torch. docs/advice.md has the rules, formulas and sources.
"""
