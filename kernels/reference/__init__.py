"""The specification of every kernel, in plain PyTorch that one can read, and what serves where nothing faster is built.

One file a kernel. None of them checks its arguments; that is `kernels.ops`.
"""
