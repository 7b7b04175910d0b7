#ifndef EDGEPOSE_TOOLS_BENCH_STATISTICS_H_
#define EDGEPOSE_TOOLS_BENCH_STATISTICS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

namespace edgepose::tools {

// Count, mean, min, max, and the percentiles 50, 90, 95 and 99 with 95 % intervals of a block
// bootstrap, in the unit of the values; edgepose/bench/statistics.py does the same with other
// random numbers. `values` must not be empty.
nlohmann::ordered_json summarise(const std::vector<int64_t>& values);

}  // namespace edgepose::tools

#endif  // EDGEPOSE_TOOLS_BENCH_STATISTICS_H_
