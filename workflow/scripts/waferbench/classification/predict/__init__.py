"""The study's best classifier at work: classes of one's own wafers, a gallery of them, and an ONNX file."""
