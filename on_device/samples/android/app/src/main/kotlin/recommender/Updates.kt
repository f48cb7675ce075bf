package recommender

import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream
import java.net.HttpURLConnection
import java.net.URL

/**
 * Keeps a pushed model up to date: a new version replaces the one in use only when it is complete and can be used.
 *
 * @param folder in the app's own files. It holds the version in use and the one before; `latest` names the one in use.
 * @param address of the pipeline's folder as the Pusher leaves it, https.
 * @param open opens the file at an address.
 */
class Updates(
    private val folder: File,
    private val address: String,
    private val open: (String) -> InputStream = ::download,
) {
    /** The folder of the version in use; null before the first update. */
    fun current(): File? {
        val version = try {
            File(folder, LATEST).readText().trim()
        } catch (_: IOException) {
            return null
        }
        return File(folder, version).takeIf { isVersion(version) && File(it, INFO).isFile }
    }

    /**
     * Downloads and checks the newest version, and puts it into use. Call it from one thread that is not the main one.
     *
     * @return the folder of the new version; null where the newest is in use already.
     * @throws ArtifactException it cannot be downloaded or used. Nothing has changed then.
     */
    @Synchronized
    fun update(): File? {
        val version = reading("$address/$LATEST") { it.readBytes().decodeToString().trim() }
        if (!isVersion(version)) throw ArtifactException("$address/$LATEST: names no version, but $version")
        val used = current()
        if (used?.name == version) return null
        folder.listFiles { file -> file.name.startsWith(STAGING) }?.forEach { it.deleteRecursively() }
        val staging = File(folder, STAGING + version)
        try {
            if (!staging.mkdirs()) throw ArtifactException("$staging: cannot be made")
            for (name in listOf(INFO, ITEMS, MODEL)) save("$address/$version/$name", File(staging, name))
            Recommender(staging).close() // Refuses what is damaged, unknown or too new.
            install(staging, version, used)
        } finally {
            staging.deleteRecursively()
        }
        return File(folder, version)
    }

    private fun install(staging: File, version: String, used: File?) {
        val target = File(folder, version)
        target.deleteRecursively() // An update was killed before `latest` named it.
        val pointer = File(folder, ".$LATEST")
        try {
            if (!staging.renameTo(target)) throw IOException("it cannot be renamed")
            FileOutputStream(pointer).use {
                it.write("$version\n".toByteArray())
                it.fd.sync()
            }
            if (!pointer.renameTo(File(folder, LATEST))) throw IOException("it cannot be renamed")
        } catch (error: IOException) {
            throw ArtifactException("$target: cannot be written (${error.message})")
        }
        folder.listFiles { file -> file.isDirectory && file != target && file != used }?.forEach { it.deleteRecursively() }
    }

    private fun save(address: String, file: File) =
        reading(address) { source ->
            FileOutputStream(file).use { target ->
                source.copyTo(target)
                target.fd.sync()
            }
        }

    private fun <T> reading(address: String, block: (InputStream) -> T): T =
        try {
            open(address).use(block)
        } catch (error: IOException) {
            throw ArtifactException("$address: cannot be downloaded (${error.message})")
        }

    private companion object {
        const val LATEST = "latest"
        const val STAGING = ".staging-"

        fun isVersion(text: String) = text.isNotEmpty() && text.all { it.isLetterOrDigit() }
    }
}

/** Opens a file by https; anything else than its content is an error. */
private fun download(address: String): InputStream {
    val connection = URL(address).openConnection() as HttpURLConnection
    connection.connectTimeout = 30_000
    connection.readTimeout = 30_000
    if (connection.responseCode != 200) throw IOException("the server answers ${connection.responseCode}")
    return connection.inputStream
}
