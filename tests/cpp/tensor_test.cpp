#include "edgepose/tensor.h"

#include <gtest/gtest.h>

#include <utility>

namespace edgepose {
namespace {

TEST(TensorTest, StartsEmpty) {
  const Tensor tensor;
  EXPECT_EQ(tensor.data(), nullptr);
  EXPECT_EQ(tensor.count(), 0);
}

TEST(TensorTest, KeepsItsMemoryWhenItShrinks) {
  Tensor tensor;
  tensor.resize({4, 3, 2});
  EXPECT_EQ(tensor.count(), 24);
  float* const data = tensor.data();
  tensor.resize({1, 3, 2});
  EXPECT_EQ(tensor.count(), 6);
  tensor.resize({4, 3, 2});
  EXPECT_EQ(tensor.data(), data);
}

TEST(TensorTest, BorrowsWithoutCopying) {
  float values[6] = {1, 2, 3, 4, 5, 6};
  Tensor tensor;
  tensor.borrow(values, {2, 3});
  EXPECT_EQ(tensor.data(), values);
  EXPECT_EQ(tensor.dim(1), 3);
  tensor.resize({2});
  EXPECT_NE(tensor.data(), values);
}

TEST(TensorTest, MovingEmptiesTheSource) {
  Tensor source;
  source.resize({2, 2});
  source.data()[3] = 5;
  Tensor target = std::move(source);
  EXPECT_EQ(target.data()[3], 5);
  EXPECT_EQ(source.data(), nullptr);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(source.count(), 0);
  source = std::move(target);
  EXPECT_EQ(source.data()[3], 5);
}

}  // namespace
}  // namespace edgepose
