"""What `train.py all` trains, in order. The weights that are committed came about otherwise: see the README."""

from flow import Settings

VAE_STEPS = 3400
DECODER_STEPS = 2000

SMALL_SIZES = "128x128:70,256x256:14,256x192:8,192x256:8"
ALL_SIZES = (
    "256x256:58,192x256:7,256x192:7,320x320:5,320x256:5,256x320:5,192x192:5,320x192:4,192x320:4"
)

FLOW_STRETCHES = [
    # One shape first: what the words mean and where things go.
    Settings(
        seed=1, steps=9500, decay_steps=4000, matrix_rate=0.02, other_rate=0.002, tokens_per_batch=2048, sigma_shift=2.4,
        sizes=SMALL_SIZES, empty_share=0.03, one_share=0.8, pool=4096,
    ),
    # Then two shapes at the sizes that are used, and more of what comes out wrong most often.
    Settings(
        seed=2, steps=6000, decay_steps=4000, matrix_rate=0.012, other_rate=0.0012, tokens_per_batch=4096, sigma_shift=4.0,
        sizes=ALL_SIZES, empty_share=0.02, one_share=0.45, emphasis="gradient:4,small:2,inside:2.5",
    ),
]
