"""Models as graphs that other programs run, ONNX and .pt2: written, loaded again, and validated."""
