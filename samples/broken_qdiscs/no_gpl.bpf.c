// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: kernel functions, without which there is no qdisc, are for programs with a license compatible with the
 * GPL.
 */
// because: the license is not compatible with the GPL.
#define OWN_LICENSE
#include "base.h"

LICENSE("Proprietary"); /* <-- the mistake */
