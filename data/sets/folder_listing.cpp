#include "data/sets/folder_listing.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <set>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "core/base/directory_entries.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/printable.h"
#include "data/dataset.h"
#include "data/file.h"

namespace lamina::data {

namespace fs = std::filesystem;

namespace {

using ClassNumbers = std::unordered_map<std::string, std::int32_t>;

const std::set<std::string> image_endings = {".jpg", ".jpeg", ".jpe", ".jfif", ".png",
                                             ".bmp", ".tga",  ".pgm", ".ppm",  ".pnm"};
// To leave these out would be to train on less than the user has.
const std::set<std::string> unread_image_endings = {".tif",  ".tiff", ".webp", ".gif", ".heic",
                                                    ".heif", ".avif", ".jxl",  ".jp2"};

std::string shown(const fs::path& path) { return printable(path.native()); }

std::string ending_of(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending;
}

struct Entry {
  fs::path path;
  fs::file_type kind;
};

// What is in a directory, but for hidden names, by name.
std::vector<Entry> entries(const fs::path& directory) {
  std::vector<Entry> list;
  for (const fs::path& path : entries_of(directory))
    if (!path.filename().native().starts_with('.')) list.push_back({path, kind_at(path)});
  return list;
}

// The images below a directory. What else is there is counted.
class ImageWalk {
 public:
  explicit ImageWalk(LeftOut& left_out) : left_out_(left_out) {}

  std::vector<fs::path> operator()(const fs::path& directory) {
    images_.clear();
    walk(directory);
    std::sort(images_.begin(), images_.end());
    return std::move(images_);
  }

 private:
  using FileId = std::pair<dev_t, ino_t>;

  void walk(const fs::path& directory) {
    struct stat status {};
    const bool known = ::stat(directory.c_str(), &status) == 0;
    check(known, "{}: cannot be looked at: {}", shown(directory), std::generic_category().message(errno));
    const FileId id{status.st_dev, status.st_ino};
    check(above_.insert(id).second, "{}: a link to a folder that it is in; remove it", shown(directory));
    for (const Entry& entry : entries(directory)) {
      if (entry.kind == fs::file_type::directory) {
        walk(entry.path);
      } else {
        add(entry);
      }
    }
    above_.erase(id);
  }
  void add(const Entry& entry) {
    check(entry.kind == fs::file_type::regular, "{}: is {}; expected an image or a folder of images",
          shown(entry.path), kind_name(entry.kind));
    const std::string ending = ending_of(entry.path);
    check(!unread_image_endings.contains(ending),
          "{}: {} images are not read; convert it, to PNG or JPEG, or remove it", shown(entry.path), ending);
    if (image_endings.contains(ending)) {
      images_.push_back(entry.path);
    } else {
      ++left_out_.other_kinds[ending.empty() ? "without an ending" : printable(ending)];
    }
  }

  LeftOut& left_out_;
  std::vector<fs::path> images_;
  std::set<FileId> above_;  // the directory being walked and those that lead to it
};

// The folders in a split. Images beside them have no class.
std::vector<std::string> class_folders(const fs::path& split, LeftOut& left_out) {
  std::vector<std::string> names;
  for (const Entry& entry : entries(split)) {
    if (entry.kind == fs::file_type::directory) names.push_back(entry.path.filename().string());
    if (entry.kind != fs::file_type::directory && image_endings.contains(ending_of(entry.path)))
      ++left_out.outside_classes;
  }
  return names;
}

std::vector<ImageFile> list_classes(const fs::path& split, const std::vector<std::string>& names,
                                    const ClassNumbers& numbers, LeftOut& left_out) {
  std::vector<ImageFile> files;
  for (const std::string& name : names) {
    const fs::path folder = split / name;
    const auto number = numbers.find(name);
    check(number != numbers.end(), "{}: no class of that name in the train folder", shown(folder));
    LeftOut here;
    const std::vector<fs::path> images = ImageWalk(here)(folder);
    check(!images.empty(), "{}: no images in this class folder{}; add some or remove it", shown(folder),
          here.other_kinds.empty() ? "" : fmt::format(" ({})", here.notes().front()));
    for (const fs::path& image : images) files.push_back({image, number->second});
    for (const auto& [ending, count] : here.other_kinds) left_out.other_kinds[ending] += count;
  }
  return files;
}

// Tiny ImageNet's validation images: val/images/NAME, and lines "NAME\tWNID\t…" in val_annotations.txt.
struct Annotation {
  std::string file;
  std::int32_t label = 0;
};

std::vector<Annotation> read_annotations(const fs::path& path, const ClassNumbers& numbers) {
  std::vector<Annotation> annotations;
  for (const std::string& line : read_lines(path)) {
    const std::size_t first = line.find('\t');
    check(first != std::string::npos, "{}: '{}' is not NAME<tab>CLASS…", shown(path), printable(line));
    const std::string name = line.substr(first + 1, line.find('\t', first + 1) - first - 1);
    const auto number = numbers.find(name);
    check(number != numbers.end(), "{}: class '{}' of {} has no train folder", shown(path), printable(name),
          printable(line.substr(0, first)));
    annotations.push_back({line.substr(0, first), number->second});
  }
  return annotations;
}

std::vector<ImageFile> list_annotated(const fs::path& split, const std::vector<Annotation>& annotations,
                                      const std::vector<fs::path>& images) {
  const std::string source = shown(split / "val_annotations.txt");
  std::vector<ImageFile> files;
  std::set<fs::path> listed;
  for (const Annotation& annotation : annotations) {
    files.push_back({split / "images" / annotation.file, annotation.label});
    check(is_there(files.back().path), "{}: lists {}, which does not exist", source,
          shown(files.back().path));
    listed.insert(files.back().path);
  }
  for (const fs::path& image : images)
    check(listed.contains(image), "{}: no line for {}", source, shown(image));
  return files;
}

// Of images that were sorted into class folders, the annotations left behind.
void check_sorted(const fs::path& split, const std::vector<Annotation>& annotations,
                  const std::vector<ImageFile>& files) {
  const std::string source = shown(split / "val_annotations.txt");
  std::set<std::pair<std::string, std::int32_t>> listed, found;
  for (const Annotation& annotation : annotations) listed.emplace(annotation.file, annotation.label);
  for (const ImageFile& file : files) {
    found.emplace(file.path.filename().string(), file.label);
    check(listed.contains({file.path.filename().string(), file.label}), "{}: no line for {} in its class",
          source, shown(file.path));
  }
  for (const auto& image : listed)
    check(found.contains(image), "{}: lists {}, which is neither in images/ nor in the folder of its class",
          source, printable(image.first));
}

std::vector<ImageFile> list_tiny_val(const fs::path& split, const ClassNumbers& numbers, LeftOut& left_out) {
  const std::vector<Annotation> annotations = read_annotations(split / "val_annotations.txt", numbers);
  const fs::path folder = split / "images";
  std::vector<fs::path> images;
  if (is_there(folder)) images = ImageWalk(left_out)(folder);
  std::vector<std::string> classes = class_folders(split, left_out);
  std::erase(classes, "images");
  if (classes.empty()) return list_annotated(split, annotations, images);
  std::vector<ImageFile> files = list_classes(split, classes, numbers, left_out);
  check(images.empty(), "{}: {} images in {} class folders, and {} in images/; expected one or the other",
        shown(split), files.size(), classes.size(), images.size());
  check_sorted(split, annotations, files);
  return files;
}

// test/ or val/, whichever has labels: folders named as the training classes, or annotations.
std::vector<ImageFile> list_test(const fs::path& directory, const ClassNumbers& numbers, LeftOut& left_out) {
  for (const char* name : {"test", "val"}) {
    const fs::path split = directory / name;
    if (kind_at(split) != fs::file_type::directory) continue;
    if (is_there(split / "val_annotations.txt")) return list_tiny_val(split, numbers, left_out);
    LeftOut here;
    const std::vector<std::string> folders = class_folders(split, here);
    const bool labelled = std::any_of(folders.begin(), folders.end(),
                                      [&](const std::string& folder) { return numbers.contains(folder); });
    if (!labelled) continue;
    left_out.outside_classes += here.outside_classes;
    return list_classes(split, folders, numbers, left_out);
  }
  fail("{}: neither test/ nor val/ holds class folders of the same names as those in train/",
       shown(directory));
}

}  // namespace

std::vector<std::string> LeftOut::notes() const {
  std::vector<std::string> lines;
  std::int64_t files = 0;
  std::vector<std::string> kinds;
  for (const auto& [ending, count] : other_kinds) {
    files += count;
    kinds.push_back(fmt::format("{} {}", count, ending));
  }
  if (files > 0)
    lines.push_back(fmt::format("{} file{} of other kinds left out: {}", files, files == 1 ? "" : "s",
                                fmt::join(kinds, ", ")));
  if (outside_classes > 0)
    lines.push_back(fmt::format("{} image{} outside the class folders left out", outside_classes,
                                outside_classes == 1 ? "" : "s"));
  return lines;
}

FolderListing list_folder(const fs::path& directory) {
  const fs::path train = directory / "train";
  check(kind_at(train) == fs::file_type::directory,
        "{}: has no folder 'train'; expected train/<class>/… and test/<class>/…", shown(directory));
  FolderListing listing;
  listing.classes = class_folders(train, listing.left_out);
  check(!listing.classes.empty(), "{}: has no class folders", shown(train));
  ClassNumbers numbers;
  for (const std::string& name : listing.classes) {
    check_class_name(name, shown(train));
    numbers.emplace(name, static_cast<std::int32_t>(numbers.size()));
  }
  listing.train = list_classes(train, listing.classes, numbers, listing.left_out);
  listing.test = list_test(directory, numbers, listing.left_out);
  return listing;
}

}  // namespace lamina::data
