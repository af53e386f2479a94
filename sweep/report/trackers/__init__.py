"""A study in the trackers that people have: TensorBoard, MLflow, Weights & Biases."""
