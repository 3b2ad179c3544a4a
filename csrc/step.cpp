#include "step.h"

#include <map>

namespace stackae {
namespace {

std::map<at::DeviceType, StepMaker>& makers() {
  static std::map<at::DeviceType, StepMaker> known;
  return known;
}

}  // namespace

RegisterSteps::RegisterSteps(at::DeviceType device, StepMaker maker) { makers().emplace(device, maker); }

const StepMaker* steps_on(at::DeviceType device) {
  const auto found = makers().find(device);
  return found == makers().end() ? nullptr : &found->second;
}

}  // namespace stackae
