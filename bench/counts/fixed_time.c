/* Preloaded into the server that callgrind watches: Lua takes the seed of its hashes from the time and from addresses,
   which valgrind keeps the same, and how often keys collide changes with the seed. */
#include <stdlib.h>
#include <time.h>

time_t time(time_t *at) {
  const time_t now = atol(getenv("COUNTS_TIME"));
  if (at) *at = now;
  return now;
}
