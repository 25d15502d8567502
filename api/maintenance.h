#pragma once

// Work on a data directory that no Database has open: what `varve verify` and
// `varve repair` do.

#include "storage/repair.h"
#include "storage/verify.h"
