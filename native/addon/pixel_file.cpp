#include "addon/pixel_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "errors/error.h"
#include "pipeline/headroom.h"

namespace qwen::addon {
namespace {

class Descriptor final {
 public:
  explicit Descriptor(const std::string& path)
      : number_(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) {
    if (number_ < 0) fail();
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  // Of a regular file, else -1.
  int64_t size() const {
    struct stat status {};
    if (fstat(number_, &status) != 0) fail();
    return S_ISREG(status.st_mode) ? status.st_size : -1;
  }

  // False at the end of the file.
  bool read(uint8_t*& to, const uint8_t* end) const {
    const ssize_t count = ::read(number_, to, static_cast<size_t>(end - to));
    if (count < 0 && errno != EINTR) fail();
    if (count > 0) to += count;
    return count != 0;
  }

 private:
  [[noreturn]] static void fail() {
    throw std::system_error(errno, std::generic_category(), "image.path");
  }
  const int number_;
};

}  // namespace

void read_pixels(const std::string& path, engine::RawImage& image) {
  const Descriptor file(path);
  const double expected = static_cast<double>(image.width) * static_cast<double>(image.height) *
                          static_cast<double>(image.channels);
  if (static_cast<double>(file.size()) != expected) {
    throw errors::EngineError(
        errors::ErrorCode::InvalidArgument,
        "image.path: expected a file of width * height * channels bytes, got " +
            std::to_string(file.size()));
  }
  image = pipeline::make_raw_image(image.width, image.height, image.channels);
  uint8_t* next = image.data.data();
  const uint8_t* const end = next + image.data.size();
  while (next < end) {
    if (!file.read(next, end))
      throw errors::EngineError(errors::ErrorCode::Internal, "image.path: the file became shorter");
  }
}

}  // namespace qwen::addon
