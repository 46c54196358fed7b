"""How long does one formula take on a CPU, against plain PyTorch?

The reference configuration (Swin-Tiny on one channel of 384 x 384 pixels, a decoder of 8 layers, 36 million weights,
random ones) writes a formula of 30 tokens, the end included. Plain PyTorch is timm's encoder in evaluation mode and
``torch.nn.TransformerDecoder`` of the same shape, which computes all tokens anew for each that follows. Ours is what
serves: ONNX Runtime, keys and values kept, in float32 and in 8 bits. Both have two threads and take turns, and a ratio
is the median of those of single turns; the same is counted in CPU time, which other work on the machine changes less.
Then the fast configuration reads one picture of its full frame, from the pixels that are sent to the LaTeX.

What was expected of each step, and what came (CPU time on one thread, one formula of 30 tokens):

- Keys and values kept, in torch: the decoder 3 times as fast; it was (0.29 to 0.09 s). The encoder is the rest.
- ONNX Runtime in float32 instead of torch: the encoder a little faster; it is a little slower (0.54 s of CPU to 0.5),
  three quarters of it products of matrices. Neither the newer exporter nor its graph without shapes helps.
- The encoder in 8 bits: 3 times as fast with VNNI; 2.7 with ranges found at run time. Static ones need pictures for
  their calibration and are slower (258 to 200 ms): their way back to float32 is a node of its own around each product.
  Weights in blocks (``MatMulNBits``) are no faster than float32 here, for a picture has thousands of rows.
- The decoder in 8 bits: 3 times; at first nearly nothing, for of 3.3 ms a step only a third was arithmetic. Written out
  by hand (``training.formula.decoder_graph``) a step takes 2.2 ms in float32 and 1.2 ms in 8 bits.
- Threads that spin while they wait: a little faster on an idle machine, half as fast on a busy one. They do not.
"""

from __future__ import annotations

from benchmarks.report import Figure

ABOUT = "one formula of 30 tokens on a CPU, against plain PyTorch without a cache"


def measure(quick: bool) -> list[Figure]:
    """Write the models with random weights, then let all take turns."""
    # Other benchmarks run where there is no torch.
    from benchmarks.formula_speed import speed

    return speed(quick=quick)
