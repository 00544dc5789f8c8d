// hiredis, for Swift: only its codec is used (redisFormatCommandArgv and the reply reader); the sockets are ours.
#pragma once
#include <sys/time.h>
#include <hiredis/hiredis.h>
