// The texts of a bundle: bundle.json, a zero byte, golden.json. The manifest is signed anew, so
// that what comes after the check of its digest is reached.

#include <string>

#include "bytes.h"
#include "edgepose/bundle.h"
#include "edgepose/sha256.h"
#include "manifest_parts.h"

namespace {

void sign(std::string* text) {
  const std::string member = "\"manifest_sha256\":";
  const size_t at = text->find(member);
  if (at == std::string::npos) return;
  const size_t first = text->find('"', at + member.size());
  if (first == std::string::npos || first + 65 > text->size()) return;
  text->replace(first + 1, 64, std::string(64, '0'));
  text->replace(first + 1, 64, edgepose::sha256_hex(text->data(), text->size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace edgepose;
  const std::string all(reinterpret_cast<const char*>(data), size);
  std::string text = all.substr(0, all.find('\0'));
  const std::string golden = text.size() < all.size() ? all.substr(text.size() + 1) : "";
  sign(&text);
  Result<Manifest> manifest = parse_manifest(text);
  if (manifest.ok()) {
    fuzz::require(!manifest.value().models.empty(), "a valid manifest has a network");
    const Status status = read_golden_expectation(golden, &manifest.value());
    fuzz::require(status.ok() || !status.message().empty(), "an error has a text");
  } else {
    fuzz::require(!manifest.status().message().empty(), "an error has a text");
  }
  (void)parse_preprocess(text);
  (void)parse_simcc_head(text);
  (void)parse_box_head(text);
  (void)parse_rtmo_head(text);
  (void)parse_tracking(text);
  return 0;
}
