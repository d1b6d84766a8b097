// What a cuDNN that is too old says of itself.
#include <cstddef>

extern "C" std::size_t cudnnGetVersion() { return 8907; }
