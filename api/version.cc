#include "api/varve.h"

namespace varve {

std::string_view Version() { return VARVE_VERSION; }
std::string_view Revision() { return VARVE_REVISION; }
std::string_view BuildDate() { return VARVE_BUILD_DATE; }

}  // namespace varve
