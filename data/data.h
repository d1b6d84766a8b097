// All of data.
#pragma once

#include "data/augment.h"
#include "data/cifar.h"
#include "data/dataset.h"
#include "data/find.h"
#include "data/folder.h"
#include "data/idx.h"
#include "data/image.h"
#include "data/loader.h"
#include "data/synthetic.h"
