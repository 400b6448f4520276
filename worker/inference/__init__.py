"""The model: texts in, probabilities and emotions out, on PyTorch or ONNX Runtime."""
