// Media types and annotations of the model formats that Berth reads and writes.
//
// Sources: docker.ai as Docker Model Runner and docker/model-spec spell it (both spellings are
// read, the runner's is written); CNCF ModelPack model-spec 0.0.7 and its older cnai names (read
// only).
#pragma once

#include <string_view>

namespace berth::model::media {

inline constexpr std::string_view kDockerConfigV01 =
    "application/vnd.docker.ai.model.config.v0.1+json";
inline constexpr std::string_view kDockerConfigV02 =
    "application/vnd.docker.ai.model.config.v0.2+json";
inline constexpr std::string_view kDockerPrefix = "application/vnd.docker.ai.";
inline constexpr std::string_view kGguf = "application/vnd.docker.ai.gguf.v3";
inline constexpr std::string_view kLora = "application/vnd.docker.ai.gguf.v3.lora";
inline constexpr std::string_view kMmproj = "application/vnd.docker.ai.mmproj";
inline constexpr std::string_view kMmprojSpec = "application/vnd.docker.ai.gguf.v3.mmproj";
inline constexpr std::string_view kSafetensors = "application/vnd.docker.ai.safetensors";
inline constexpr std::string_view kDduf = "application/vnd.docker.ai.dduf";
inline constexpr std::string_view kChatTemplate = "application/vnd.docker.ai.chat.template.jinja";
inline constexpr std::string_view kLicense = "application/vnd.docker.ai.license";
inline constexpr std::string_view kModelFile = "application/vnd.docker.ai.model.file";
inline constexpr std::string_view kDirTar = "application/vnd.docker.ai.dir.tar";
inline constexpr std::string_view kVllmConfigTar = "application/vnd.docker.ai.vllm.config.tar";

inline constexpr std::string_view kModelPackManifest =
    "application/vnd.cncf.model.manifest.v1+json";
inline constexpr std::string_view kModelPackConfig = "application/vnd.cncf.model.config.v1+json";
inline constexpr std::string_view kModelPackPrefix = "application/vnd.cncf.model.";
inline constexpr std::string_view kModelPackWeight = "application/vnd.cncf.model.weight.v1.raw";
inline constexpr std::string_view kModelPackWeightConfig =
    "application/vnd.cncf.model.weight.config.v1.raw";
inline constexpr std::string_view kModelPackDoc = "application/vnd.cncf.model.doc.v1.raw";
inline constexpr std::string_view kModelPackCode = "application/vnd.cncf.model.code.v1.raw";
inline constexpr std::string_view kCnaiConfig = "application/vnd.cnai.model.config.v1+json";
inline constexpr std::string_view kCnaiPrefix = "application/vnd.cnai.model.";

}  // namespace berth::model::media

namespace berth::model::annotation {

inline constexpr std::string_view kFilePath = "org.cncf.model.filepath";
inline constexpr std::string_view kCnaiFilePath = "org.cnai.model.filepath";
inline constexpr std::string_view kFileMetadata = "org.cncf.model.file.metadata+json";
inline constexpr std::string_view kUntested = "org.cncf.model.file.mediatype.untested";
// Berth's own, for what ModelPack has no field for. On a layer: "mmproj", "lora", "chat_template"
// or "license".
inline constexpr std::string_view kRole = "dev.berth.model.role";
// On a ModelPack manifest: the context size to run with, decimal.
inline constexpr std::string_view kContextSize = "dev.berth.model.context-size";
// The same for what the model was trained with.
inline constexpr std::string_view kContextLength = "dev.berth.model.context-length";

}  // namespace berth::model::annotation
