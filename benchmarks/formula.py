"""How long does one formula take on a CPU, against plain PyTorch?

The reference configuration (Swin-Tiny on one channel of 384 x 384 pixels, a decoder of 8 layers, 36 million weights,
random ones) writes a formula of 30 tokens, the end included. Plain PyTorch is timm's encoder in evaluation mode and
``torch.nn.TransformerDecoder`` of the same shape, which computes all tokens anew for each that follows. Ours is what
serves: ONNX Runtime, keys and values kept, in float32 and in 8 bits. Both have two threads and take turns, and a ratio
is the median of those of single turns; the same is counted in CPU time, which other work on the machine changes less.
Then the fast configuration reads one picture of its full frame, from the pixels that are sent to the LaTeX.

What was expected of each step, and what came (for one formula of 30 tokens; CPU time on one thread where nothing else
is said):

- Keys and values kept, in torch: a few times as fast for the decoder; it was three (0.29 to 0.09 s by the clock). The
  encoder, 0.29 s, stays what it is.
- ONNX Runtime in float32 instead of torch: a faster encoder; it is as fast (0.54 s of CPU), three quarters of it
  products of matrices. The newer exporter's graph is no faster than the older one's.
- The encoder in 8 bits: three times as fast with VNNI; 2.7 with ranges found at run time. Static ones need pictures for
  their calibration and are slower (258 to 200 ms, with the profiler on): they leave Gelu and sums nodes of their own to
  convert. Weights in blocks (``MatMulNBits``) save nothing here (0.51 s), where a picture has thousands of rows.
- The decoder in 8 bits: three times; next to nothing on the exporter's graph, for a third of its 3.1 ms a step was
  arithmetic. Written out by hand (``training.formula.decoder_graph``) a step takes 2.2 ms in float32, 1.2 in 8 bits.
- Two threads for the decoder: less by the clock; it was the same (103 ms for 30 steps), for double the CPU time. It has
  one. Where other work ran beside it, two threads that spin while they wait made the encoder slower than one (0.87 to
  0.54 s): they do not spin.
"""

from __future__ import annotations

from benchmarks.report import Figure

ABOUT = "one formula of 30 tokens on a CPU, against plain PyTorch without a cache"


def measure(quick: bool) -> list[Figure]:
    """Write the models with random weights, then let all take turns."""
    # Other benchmarks run where there is no torch.
    from benchmarks.formula_speed import speed

    return speed(quick=quick)
