// All of data.
#pragma once

#include "data/augment.h"
#include "data/dataset.h"
#include "data/find.h"
#include "data/identity.h"
#include "data/images/image.h"
#include "data/images/write_png.h"
#include "data/loader.h"
#include "data/part.h"
#include "data/sets/cifar.h"
#include "data/sets/folder.h"
#include "data/sets/idx.h"
#include "data/sets/synthetic.h"
#include "data/transform.h"
#include "data/view_recipes.h"
#include "data/views.h"
