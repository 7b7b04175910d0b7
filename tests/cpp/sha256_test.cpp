#include "edgepose/sha256.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace edgepose {
namespace {

std::string digest(Sha256::Path path, const std::string& text, size_t piece) {
  Sha256 hash(path);
  for (size_t at = 0; at < text.size(); at += piece) {
    hash.update(text.data() + at, std::min(piece, text.size() - at));
  }
  return hash.hex_digest();
}

class Vectors : public ::testing::TestWithParam<Sha256::Path> {};

// The examples of FIPS 180-4 and of NIST's SHA-2 validation (SHA256ShortMsg).
TEST_P(Vectors, MatchThePublishedDigests) {
  const std::pair<std::string, std::string> vectors[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmn"
       "op"
       "qrsmnopqrstnopqrstu",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
      {"\xd3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"},
  };
  for (const auto& [text, expected] : vectors) {
    EXPECT_EQ(digest(GetParam(), text, 1000), expected) << text;
    EXPECT_EQ(digest(GetParam(), text, 1), expected) << text;
  }
}

TEST_P(Vectors, MatchTheDigestOfAMillionLetters) {
  const std::string expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  const std::string text(1000000, 'a');
  EXPECT_EQ(digest(GetParam(), text, text.size()), expected);
  EXPECT_EQ(digest(GetParam(), text, 4099), expected);
}

INSTANTIATE_TEST_SUITE_P(Paths, Vectors,
                         ::testing::Values(Sha256::Path::kFastest, Sha256::Path::kScalar),
                         [](const auto& test) {
                           return test.param == Sha256::Path::kFastest ? "Fastest" : "Scalar";
                         });

TEST(Sha256, BothPathsAgreeForEveryLengthAndPiece) {
  std::mt19937 random(7);
  std::string text;
  for (int length = 0; length < 400; ++length) {
    const std::string expected = digest(Sha256::Path::kScalar, text, text.size() + 1);
    const size_t piece = 1 + random() % 130;
    EXPECT_EQ(digest(Sha256::Path::kFastest, text, text.size() + 1), expected) << length;
    EXPECT_EQ(digest(Sha256::Path::kFastest, text, piece), expected) << length << ", " << piece;
    text.push_back(static_cast<char>(random()));
  }
}

TEST(Sha256, ReadsFromAnyAddress) {
  std::vector<char> bytes(64 * 5 + 16, 'x');
  const std::string expected = digest(Sha256::Path::kScalar, std::string(64 * 5, 'x'), 320);
  for (size_t offset = 0; offset < 16; ++offset) {
    EXPECT_EQ(sha256_hex(bytes.data() + offset, 64 * 5), expected) << offset;
  }
}

}  // namespace
}  // namespace edgepose
