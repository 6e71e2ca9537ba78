"""sirtjax: planning and verification of liver radioembolisation (SIRT) in one differentiable JAX pipeline."""

__version__ = "0.1.0"
