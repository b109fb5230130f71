"""imcjax: in-memory-computing hardware for quantized neural networks as one differentiable function."""
