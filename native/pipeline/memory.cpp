#include "pipeline/memory.h"

#include <algorithm>
#include <cmath>

#include "pipeline/modulation_window.h"

// Each number counts the tensors that are alive together at the widest place of the code that it
// speaks of: arguments and temporaries live to the end of their full expression.
namespace qwen::pipeline {
namespace {

// What the libraries take for a moment: packed operands, threads' own buffers.
constexpr double kSlack = 1.15;

// Values per latent or output pixel around one convolution or norm of the VAE.
class VaeWalk final {
 public:
  explicit VaeWalk(const Storage& storage)
      : norm_(storage.on_cpu ? 1 : 6), unfold_(storage.unfolds ? 9 : 0) {}

  // `held`: what the callers keep beside x; `area`: pixels here for one of the picture.
  void residual(double held, double in, double out, double area) {
    take(held + in + norm_ * in, area);
    take(held + 2 * in + out + unfold_ * in, area);       // x, norm1, conv1
    take(held + 2 * in + out + norm_ * out, area);        // norm2
    take(held + 2 * in + 3 * out + unfold_ * out, area);  // conv2
    if (in != out) take(held + in + 2 * out, area);       // conv_shortcut
  }
  void attention(double held, double channels, double area) {
    // x, qkv, the output, the projection; kernels that go in chunks hold float32 copies
    take(held + (norm_ > 1 ? 14 : 7) * channels, area);
  }
  void convolution(double held, double in, double out, double area) {
    take(held + in + out + unfold_ * in, area);
  }
  double values() const { return peak_; }

 private:
  void take(double values, double area) { peak_ = std::max(peak_, values * area); }
  const double norm_, unfold_;
  double peak_ = 0;
};

double quarter(size_t times) { return std::pow(0.25, static_cast<double>(times)); }

double encode_values(const models::vae::Config& vae, const Storage& storage) {
  VaeWalk walk(storage);
  const size_t levels = vae.dim_mult.size();
  double in = static_cast<double>(vae.base_dim);
  walk.convolution(vae.input_channels, vae.input_channels, in, 1);
  for (size_t level = 0; level < levels; ++level) {
    const double out = static_cast<double>(vae.base_dim * vae.dim_mult[level]);
    for (int64_t i = 0; i < vae.num_res_blocks; ++i, in = out)
      walk.residual(vae.input_channels, in, out, quarter(level));
    if (level + 1 < levels) walk.convolution(out, out, out / 4, quarter(level));  // padded
  }
  walk.residual(in, in, in, quarter(levels - 1));
  walk.attention(in, in, quarter(levels - 1));
  return walk.values();
}

double decode_values(const models::vae::Config& vae, const Storage& storage) {
  VaeWalk walk(storage);
  const size_t levels = vae.dim_mult.size();
  double in = static_cast<double>(vae.base_dim * vae.dim_mult.back());
  walk.residual(in, in, in, quarter(levels - 1));
  walk.attention(in, in, quarter(levels - 1));
  for (size_t level = 0; level < levels; ++level) {
    const double out = static_cast<double>(vae.base_dim * vae.dim_mult[levels - 1 - level]);
    const double area = quarter(levels - 1 - level);
    walk.residual(0, in, out, area);
    for (int64_t i = 0; i < vae.num_res_blocks; ++i) walk.residual(in, out, out, area);
    if (level + 1 < levels)  // beside the block's input and the last resnet's output
      walk.convolution((in + out) / 4, out, out / 2, 4 * area);
    in = out / 2;
  }
  return walk.values();
}

// libtorch's own condition for convolutions in bfloat16; the others go through a matrix product.
bool has_bfloat16_convolutions() {
  return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq");
}

}  // namespace

Storage storage_of(c10::ScalarType dtype, c10::Device device) {
  return {.element_size = static_cast<int64_t>(c10::elementSize(dtype)),
          .on_cpu = device.is_cpu(),
          .unfolds = device.is_cpu() && dtype == c10::kBFloat16 && !has_bfloat16_convolutions()};
}

MemoryModel describe_activations(const models::qwen2_5_vl::TextConfig& text,
                                 const models::qwen_image::Config& transformer,
                                 const models::vae::Config& vae, const Storage& storage) {
  MemoryModel memory;
  const auto size = static_cast<double>(storage.element_size);
  const double ratio = static_cast<double>(vae.spatial_ratio());
  const double token_pixels = 4 * ratio * ratio;  // a token is 2 x 2 latent cells
  const double dim = static_cast<double>(transformer.dim());
  const double joint = static_cast<double>(transformer.joint_attention_dim);

  // Bytes: the message, or the cached pages of the file; the copy that the engine keeps; one pass
  // of the resize.
  memory.request.per_input_pixel = 3 * 4;
  // The finished picture, and up to three copies of it while it is sent.
  memory.request.per_picture_pixel =
      3 * 4 + size * static_cast<double>(vae.z_dim) / (ratio * ratio);
  memory.request.per_text_token = size * joint;

  const double hidden = static_cast<double>(text.hidden_size);
  const double queries = static_cast<double>(text.num_attention_heads * text.head_dim());
  const double keys = static_cast<double>(text.num_key_value_heads * text.head_dim());
  const double attention = 2 * hidden + 6 * queries + 2 * keys;
  // Matrix products and activations make copies of their own.
  const double gated = 4 * hidden + 3 * static_cast<double>(text.intermediate_size);
  memory.text_encoder.per_token = kSlack * size * std::max(attention, gated);

  // Widest is the feed-forward: the stream, its update, its modulated copy, the hidden layer, four
  // times as wide, beside what its activation and the matrix product make of it, and the output.
  // (The attention takes 9: stream, modulated copy, queries, keys and values before and behind the
  // rotation, output.) Without fused loops the rotation
  // works in float32.
  const double rotation = storage.on_cpu ? 0 : 5 * 4 / size;
  const double token = size * dim;
  memory.transformer.per_branch_pixel = kSlack * 12 * token / token_pixels;
  memory.transformer.per_pixel =
      kSlack *
      ((1 + rotation) * token +
       // rotary tables, latents, velocity and their sum in float32
       static_cast<double>(4 * transformer.attention_head_dim + 8 * 4 * transformer.in_channels)) /
      token_pixels;
  memory.transformer.per_text_token =
      kSlack * ((12 + rotation) * token + 3 * size * joint +
                static_cast<double>(4 * transformer.attention_head_dim));
  memory.transformer.per_step =
      kSlack * size * dim * (12 * static_cast<double>(transformer.num_layers) + 4);
  memory.transformer.steps_at_once = ModulationWindow::kSteps;

  // Around the walk: the picture in float32, scaled, rounded and interleaved.
  constexpr double kPixels = 3 * 4 * 4 + 3 * 3;
  memory.vae_encoder.per_work_pixel = kSlack * size * encode_values(vae, storage);
  memory.vae_encoder.per_pixel = kSlack * kPixels;
  memory.vae_decoder.per_work_pixel = kSlack * size * decode_values(vae, storage);
  // Strips of tiles and the picture that they are joined to come first; pixels only afterwards.
  memory.vae_decoder.per_pixel = kSlack * std::max(kPixels, 3 * 4 * size);
  return memory;
}

}  // namespace qwen::pipeline
