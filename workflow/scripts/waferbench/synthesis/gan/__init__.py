"""TS-HingeGAN: a hinge-loss GAN trained on all classes together, then fine-tuned class by class."""
