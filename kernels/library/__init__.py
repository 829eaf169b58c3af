"""The torch.library ops, a file an operation: what it checks, its schema, its shapes for tracing, its gradients.

`kernels.ops` is how they are called. None of them computes anything: on the processor `kernels.cpu` works and on a CUDA
device `kernels.cuda`, where they are built; everywhere else `kernels.reference`, which is the specification.
"""
