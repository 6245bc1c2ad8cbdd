/** Takes a login in baileys' folder over, as an account does when it is opened: login-child.ts <folder> <keep|remove>. */
import { takeFolder } from '../../src/channels/whatsapp/folder.ts'
import { keepPath } from '../../src/channels/whatsapp/keep.ts'
import { library } from '../../src/channels/whatsapp/library.ts'

const [folder = '', how] = process.argv.slice(2)
const lib = await library()
process.stdout.write('begin\n')
takeFolder(keepPath(folder), lib, { remove: how === 'remove', log: () => undefined })
process.stdout.write('done\n')
