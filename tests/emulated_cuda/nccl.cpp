// A stand-in for NCCL: messages between the processes that MPI connects, each exchange of a group when the
// stream comes to it. A receive that nobody sends for, or of another length, would hang on GPUs; here it is
// an error.
#include "core/cuda/nccl_library.h"

#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/cuda/launch.h"
#include "core/parallel/collective.h"

namespace lamina::cuda {

struct ncclComm {
  int ranks, rank;
};

namespace {

constexpr int invalid_argument = 4;

struct Message {
  bool is_sent;
  void* memory;
  std::size_t bytes;
  int other;
};
std::vector<Message> group;
int groups_open = 0;
Stream stream_of_group = nullptr;

// "other bytes content", one after another.
std::string sent_in(const std::vector<Message>& messages) {
  std::string text;
  for (const Message& message : messages) {
    if (!message.is_sent) continue;
    const std::size_t head[2] = {static_cast<std::size_t>(message.other), message.bytes};
    text.append(reinterpret_cast<const char*>(head), sizeof(head));
    text.append(static_cast<const char*>(message.memory), message.bytes);
  }
  return text;
}

// What a rank has sent to this one, in order.
std::deque<std::string> received_from(const std::string& text, int own) {
  std::deque<std::string> messages;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t head[2];
    std::memcpy(head, text.data() + at, sizeof(head));
    at += sizeof(head);
    if (head[0] == static_cast<std::size_t>(own)) messages.push_back(text.substr(at, head[1]));
    at += head[1];
  }
  return messages;
}

void exchange(const std::vector<Message>& messages) {
  Collective& ranks = collective();
  const std::vector<std::string> sent = ranks.gather(sent_in(messages));
  std::map<int, std::deque<std::string>> arrived;
  for (int r = 0; r < ranks.size(); ++r)
    arrived[r] = received_from(sent[static_cast<std::size_t>(r)], ranks.rank());
  for (const Message& message : messages) {
    if (message.is_sent) continue;
    std::deque<std::string>& waiting = arrived[message.other];
    check(!waiting.empty() && waiting.front().size() == message.bytes,
          "NCCL would wait for ever: rank {} receives {} bytes from rank {}, which sends {}", ranks.rank(),
          message.bytes, message.other, waiting.empty() ? 0 : waiting.front().size());
    std::memcpy(message.memory, waiting.front().data(), message.bytes);
    waiting.pop_front();
  }
  for (const auto& [rank, waiting] : arrived)
    check(waiting.empty(), "NCCL would wait for ever: nobody receives what rank {} sends to rank {}", rank,
          ranks.rank());
}

int end_group() {
  if (groups_open == 0) return invalid_argument;
  if (--groups_open > 0 || group.empty()) return Nccl::success;
  hand_out(stream_of_group, [messages = std::exchange(group, {})] { exchange(messages); });
  return Nccl::success;
}

int add(bool is_sent, void* memory, std::size_t count, int type, int other, Nccl::Comm comm, Stream stream) {
  if (type != Nccl::float32 || other < 0 || other >= comm->ranks || groups_open == 0) return invalid_argument;
  group.push_back({is_sent, memory, count * sizeof(float), other});
  stream_of_group = stream;
  return Nccl::success;
}

// All ranks have the id that one of them has drawn.
int connect(Nccl::Comm* comm, int ranks, Nccl::UniqueId id, int rank) {
  const std::string own(id.internal, sizeof(id.internal));
  for (const std::string& other : collective().gather(own))
    if (other != own || own.find_first_not_of('\0') == std::string::npos) return invalid_argument;
  if (ranks != collective().size() || rank != collective().rank()) return invalid_argument;
  *comm = std::make_unique<ncclComm>(ncclComm{ranks, rank}).release();
  return Nccl::success;
}

int disconnect(Nccl::Comm comm) {
  const std::unique_ptr<ncclComm> owned(comm);
  return Nccl::success;
}

}  // namespace

const Nccl& nccl() {
  static const Nccl stand_in{
      .get_version = [](int* version) { return *version = 2'28'09, Nccl::success; },
      .get_error_string = [](int) { return "as the stand-in says"; },
      .get_unique_id =
          [](Nccl::UniqueId* id) {
            return std::snprintf(id->internal, sizeof(id->internal), "%p", static_cast<void*>(id)) > 0
                       ? Nccl::success
                       : invalid_argument;
          },
      .comm_init_rank = connect,
      .comm_destroy = disconnect,
      .group_start = [] { return ++groups_open, Nccl::success; },
      .group_end = end_group,
      .send =
          [](const void* from, std::size_t count, int type, int to_rank, Nccl::Comm comm,
             cudaStream_t stream) {
            return add(true, const_cast<void*>(from), count, type, to_rank, comm, stream);
          },
      .receive = [](void* to, std::size_t count, int type, int from_rank, Nccl::Comm comm,
                    cudaStream_t stream) { return add(false, to, count, type, from_rank, comm, stream); }};
  return stand_in;
}

}  // namespace lamina::cuda

// By which ranks see that no two of them have one GPU.
cudaError_t cudaDeviceGetPCIBusId(char* bus, int length, int device) {
  std::snprintf(bus, static_cast<std::size_t>(length), "0000:%02x:00.0", device + 1);
  return cudaSetDevice(device);
}
