--- The transitions of a connection: for each, which states it starts from and where it leads. From any other state it
-- does nothing.
-- @module websockets.connection.transitions
return {
  connected = { dialling = "http" },
  secure = { http = "dialling" },
  dial_again = { http = "dialling" },
  open = { http = "open" },
  close = { open = "closing" },
  conclude = { open = "draining", closing = "draining" },
  finish = { http = "draining" },
  drained = { draining = "lingering" },
  depart = { closed = "away" },
  redial = { away = "dialling" },
  abort = {
    away = "closed", dialling = "closed", http = "closed", open = "closed", closing = "closed", draining = "closed",
    lingering = "closed",
  },
}
