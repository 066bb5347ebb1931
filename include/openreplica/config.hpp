// What the compilers and Asio must be told before the first Asio header.
#pragma once

// Asio before 1.26 does not see that clang has C++20 coroutines; without these two, asio::awaitable does not exist.
#if defined(__clang__) && __has_include(<coroutine>)
#if !defined(ASIO_HAS_CO_AWAIT)
#define ASIO_HAS_CO_AWAIT 1
#endif
#if !defined(ASIO_HAS_STD_COROUTINE)
#define ASIO_HAS_STD_COROUTINE 1
#endif
#endif
