-- Asks for pages of /p/0000000 and so on: each once and then it ends, or at random. Arguments: once | random, how many.
local how, pages = "once", 1
local next_page, answered = 0, 0

local function page(number)
  return string.format("GET /p/%07d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", number)
end

function init(arguments)
  how, pages = arguments[1], tonumber(arguments[2])
  math.randomseed(os.time() + os.clock() * 1e6)
  if how == "once" then
    -- wrk reads an answer's head only where it is asked to.
    response = function()
      answered = answered + 1
      if answered == pages then
        -- wrk itself sleeps on until its time is over, or somebody interrupts it.
        wrk.thread:stop()
        io.stderr:write("all answered\n")
      end
    end
  end
end

function request()
  if how == "random" then
    return page(math.random(0, pages - 1))
  end
  next_page = next_page + 1
  return page((next_page - 1) % pages)
end
