#include "edgepose/status.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace edgepose {
namespace {

TEST(StatusTest, EveryCodeHasAStableNameOfItsOwn) {
  const char* const expected[] = {"ok",
                                  "invalid_argument",
                                  "invalid_bundle",
                                  "checksum_mismatch",
                                  "unsupported",
                                  "backend_failure",
                                  "io",
                                  "internal"};
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
    EXPECT_STREQ(code_name(static_cast<Code>(code)), expected[code]);
  }
}

TEST(StatusTest, ADefaultStatusIsOk) {
  EXPECT_TRUE(Status().ok());
  const Status status(Code::kIo, "what", "hint");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_EQ(status.message(), "what");
  EXPECT_EQ(status.hint(), "hint");
}

TEST(StatusTest, WhatIsWrongWithABundleNamesIt) {
  const Status named = about_bundle("a/b", Status(Code::kInvalidBundle, "x is missing", "hint"));
  EXPECT_EQ(named.code(), Code::kInvalidBundle);
  EXPECT_EQ(named.message(), "a/b: x is missing");
  EXPECT_EQ(named.hint(), "hint");
  for (const Code code : {Code::kChecksumMismatch, Code::kUnsupported, Code::kBackendFailure}) {
    EXPECT_EQ(about_bundle("a/b", Status(code, "x")).message(), "a/b: x");
  }
  EXPECT_EQ(about_bundle("a/b", named).message(), named.message());
  for (const char* has_it : {"\"a/b\" has no bundle.json", "/home/me/a/b/pose.xml is cut off",
                             "the engine cannot read \"a/b/pose.xml\""}) {
    EXPECT_EQ(about_bundle("a/b/", Status(Code::kInvalidBundle, has_it)).message(), has_it);
  }
  for (const char* has_another : {"files[\"b\"].bytes is 3", "web/x is cut off", "a bad number"}) {
    const Status status = about_bundle("b", Status(Code::kInvalidBundle, has_another));
    EXPECT_EQ(status.message(), std::string("b: ") + has_another);
  }
  for (const Code code : {Code::kInvalidArgument, Code::kIo, Code::kInternal}) {
    EXPECT_EQ(about_bundle("a/b", Status(code, "x")).message(), "x");
  }
  EXPECT_TRUE(about_bundle("a/b", Status()).ok());
}

Result<std::unique_ptr<int>> make(bool good) {
  if (!good) return Status(Code::kUnsupported, "no");
  return std::make_unique<int>(7);
}

Status use(bool good, int* value) {
  EDGEPOSE_ASSIGN_OR_RETURN(const std::unique_ptr<int> number, make(good));
  *value = *number;
  return {};
}

TEST(StatusTest, ResultsCarryAValueOrAReason) {
  int value = 0;
  EXPECT_TRUE(use(true, &value).ok());
  EXPECT_EQ(value, 7);
  EXPECT_EQ(use(false, &value).code(), Code::kUnsupported);
  EXPECT_TRUE(make(true).status().ok());
}

}  // namespace
}  // namespace edgepose
