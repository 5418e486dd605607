--- The media type of a file, guessed by its extension.
-- @module websockets.http.mime
local mime = {}

local UTF8 = "; charset=utf-8"

--- Media types by extension, in lower case.
mime.TYPES = {
  html = "text/html" .. UTF8, htm = "text/html" .. UTF8, css = "text/css" .. UTF8, js = "text/javascript" .. UTF8,
  mjs = "text/javascript" .. UTF8, txt = "text/plain" .. UTF8, md = "text/markdown" .. UTF8, csv = "text/csv" .. UTF8,
  ics = "text/calendar" .. UTF8, vtt = "text/vtt" .. UTF8, lua = "text/plain" .. UTF8, log = "text/plain" .. UTF8,
  json = "application/json", map = "application/json", webmanifest = "application/manifest+json",
  xml = "application/xml", atom = "application/atom+xml", rss = "application/rss+xml", xhtml = "application/xhtml+xml",
  wasm = "application/wasm", pdf = "application/pdf", zip = "application/zip", gz = "application/gzip",
  tar = "application/x-tar", bz2 = "application/x-bzip2", xz = "application/x-xz", zst = "application/zstd",
  ["7z"] = "application/x-7z-compressed", rtf = "application/rtf", epub = "application/epub+zip",
  png = "image/png", jpg = "image/jpeg", jpeg = "image/jpeg", gif = "image/gif", webp = "image/webp",
  avif = "image/avif", svg = "image/svg+xml", ico = "image/x-icon", bmp = "image/bmp", tif = "image/tiff",
  tiff = "image/tiff", mp3 = "audio/mpeg", ogg = "audio/ogg", oga = "audio/ogg", opus = "audio/ogg", wav = "audio/wav",
  flac = "audio/flac", m4a = "audio/mp4", aac = "audio/aac", mp4 = "video/mp4", m4v = "video/mp4", webm = "video/webm",
  ogv = "video/ogg", mov = "video/quicktime", mkv = "video/x-matroska", woff = "font/woff", woff2 = "font/woff2",
  ttf = "font/ttf", otf = "font/otf",
}

--- The media type of files with an unknown extension.
mime.UNKNOWN = "application/octet-stream"

--- Guesses the media type of a file.
-- @tparam string path
-- @tparam[opt] table types further ones, extension in lower case -> media type; they take precedence
-- @treturn string
function mime.guess(path, types)
  local extension = path:match("[^/\\]%.([%w_-]+)$")
  if not extension then return mime.UNKNOWN end
  extension = extension:lower()
  return types and types[extension] or mime.TYPES[extension] or mime.UNKNOWN
end

return mime
