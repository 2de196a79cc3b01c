"""Die LoRA: a frozen network that knows wafers but no classes, and one small adapter a class that bends it.

The network is a die flow's (`waferbench.synthesis.dieflow`) with one label for all wafers, pretrained on simulated
ones. An adapter adds a product of two thin matrices to every weight (LoRA, Hu et al. 2021, arXiv:2106.09685), trained
on a few wafers of its class (DreamBooth, Ruiz et al. 2022, arXiv:2208.12242, without its prior loss). Samples move from
the frozen network's logits towards the adapter's and beyond (autoguidance, Karras et al. 2024, arXiv:2406.02507).
"""
