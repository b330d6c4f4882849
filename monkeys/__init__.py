"""Fine-grained image classification on PaddlePaddle."""
