"""Which errors of CUDA are the machine's: another attempt, on another GPU, may succeed. All others are the program's.

The texts are those of `cudaGetErrorString` (CUDA Runtime API, enum cudaError); torch puts them behind "CUDA error: ".
"""

_CUDA_ERROR = "CUDA error: "
_OF_THE_MACHINE = (
    "all CUDA-capable devices are busy or unavailable",  # 46
    "CUDA-capable device(s) is/are busy or unavailable",  # 46, newer
    "uncorrectable ECC error encountered",  # 214
    "uncorrectable NVLink error detected during the execution",  # 220
    "the launch timed out and was terminated",  # 702
    "hardware stack error",  # 714
    "unspecified launch failure",  # 719: a wrong address of a kernel is 700, this is mostly the GPU itself
    "Invalid access of peer GPU memory over nvlink or a hardware error",  # 721
    "system not yet initialized",  # 802: the fabric manager of NVSwitch
    "unknown error",  # 999
)


def is_cuda_error(text: str) -> bool:
    """Whether a message of torch is about an error of CUDA, whoever noticed it."""
    return _CUDA_ERROR in text


def is_of_the_machine(text: str) -> bool:
    """Whether it is about one that the program cannot have caused."""
    return any(_CUDA_ERROR + known in text for known in _OF_THE_MACHINE)
