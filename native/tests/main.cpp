#include <ATen/Parallel.h>
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  at::set_num_threads(2);  // the recordings of diffusers were made with two
  return RUN_ALL_TESTS();
}
