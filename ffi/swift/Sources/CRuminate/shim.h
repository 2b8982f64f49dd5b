#include <ruminate.h>
