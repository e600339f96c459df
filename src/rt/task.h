// Task<T>: the coroutine type of every asynchronous function in Berth. All of them run on the one
// loop thread.
#pragma once

#include <boost/asio/awaitable.hpp>

namespace berth::rt {

template <class T>
using Task = boost::asio::awaitable<T>;

}  // namespace berth::rt

namespace berth {
using rt::Task;
}
