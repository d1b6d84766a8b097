// The recipes of views, for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/views.h"

namespace lamina::app {

nlohmann::json views_json();
std::string view_table();
std::string view_text(const data::ViewRecipe& recipe);  // its lines of that

}  // namespace lamina::app
