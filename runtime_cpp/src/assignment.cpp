#include "assignment.h"

#include <algorithm>
#include <limits>

namespace edgepose {

// The Hungarian method with shortest augmenting paths (Jonker and Volgenant, Computing 38, 1987),
// on a square matrix whose missing rows and columns have gain 0. Index 0 of every list is the
// path's start, so rows and columns count from 1.
void Assignment::solve(size_t rows, size_t columns, Span<const float> gains,
                       std::vector<int>* column_of_row) {
  const size_t side = std::max(rows, columns);
  const auto gain = [&](size_t row, size_t column) {
    return row <= rows && column <= columns
               ? static_cast<double>(gains[(row - 1) * columns + column - 1])
               : 0.0;
  };
  row_price_.assign(side + 1, 0);
  column_price_.assign(side + 1, 0);
  row_of_column_.assign(side + 1, 0);
  previous_.assign(side + 1, 0);
  for (size_t row = 1; row <= side; ++row) {
    row_of_column_[0] = row;
    slack_.assign(side + 1, std::numeric_limits<double>::max());
    visited_.assign(side + 1, 0);
    size_t column = 0;
    do {
      visited_[column] = 1;
      const size_t at = row_of_column_[column];
      double least = std::numeric_limits<double>::max();
      size_t next = 0;
      for (size_t c = 1; c <= side; ++c) {
        if (visited_[c] != 0) continue;
        const double cost = -gain(at, c) - row_price_[at] - column_price_[c];
        if (cost < slack_[c]) {
          slack_[c] = cost;
          previous_[c] = column;
        }
        if (slack_[c] < least) {
          least = slack_[c];
          next = c;
        }
      }
      for (size_t c = 0; c <= side; ++c) {
        if (visited_[c] != 0) {
          row_price_[row_of_column_[c]] += least;
          column_price_[c] -= least;
        } else {
          slack_[c] -= least;
        }
      }
      column = next;
    } while (row_of_column_[column] != 0);
    for (; column != 0; column = previous_[column])
      row_of_column_[column] = row_of_column_[previous_[column]];
  }
  column_of_row->assign(rows, -1);
  for (size_t c = 1; c <= columns; ++c) {
    const size_t row = row_of_column_[c];
    if (row >= 1 && row <= rows && gain(row, c) > 0)
      (*column_of_row)[row - 1] = static_cast<int>(c) - 1;
  }
}

}  // namespace edgepose
