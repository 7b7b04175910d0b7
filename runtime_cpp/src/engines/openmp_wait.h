#ifndef EDGEPOSE_SRC_ENGINES_OPENMP_WAIT_H_
#define EDGEPOSE_SRC_ENGINES_OPENMP_WAIT_H_

#include <memory>

namespace edgepose {

// GNU OpenMP lets the threads of a network spin for milliseconds at the end of every layer. On a
// busy machine they take the processor from the very thread that they wait for, and a layer lasts
// as long as a time slice: 20 to 100 times the normal time. Where it manages more threads than
// there are processors it sleeps after microseconds instead, so while one of these lives, a team of
// idle threads makes up the number. Other OpenMP runtimes need none.
//
// GNU OpenMP's threads are not there in a forked process either, and the first layer there would
// wait for them for ever. So a thread that forks ends its team first; the next layer starts
// another.
class ShortOpenmpWaits {
 public:
  // All holders share one team.
  static std::shared_ptr<ShortOpenmpWaits> acquire();
  ShortOpenmpWaits();
  ~ShortOpenmpWaits();
  ShortOpenmpWaits(const ShortOpenmpWaits&) = delete;
  ShortOpenmpWaits& operator=(const ShortOpenmpWaits&) = delete;

 private:
  struct Team;
  std::unique_ptr<Team> team_;
};

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_ENGINES_OPENMP_WAIT_H_
