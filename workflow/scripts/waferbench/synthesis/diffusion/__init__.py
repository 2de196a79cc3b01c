"""DB-SD-LoRA: a latent diffusion base, one LoRA adapter a class, and the sampler (Hu et al. 2022; Tsai & Wang 2025)."""
