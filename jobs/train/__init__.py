import logging

# peft imports bitsandbytes where it is installed, which then says that it lacks a kernel for CPUs from a hub.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
